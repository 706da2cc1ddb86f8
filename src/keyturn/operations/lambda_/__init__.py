"""AWS Lambda: functions, their permissions, and Invoke."""
