"""What the SQL Server engine needs beside itself: TDS with TLS, SQL Server's errors, and copies of its principals."""
