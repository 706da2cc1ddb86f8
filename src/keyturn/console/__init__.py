"""The console: pages for people under ``/console/``. A client of the API like any other, with no private door."""
