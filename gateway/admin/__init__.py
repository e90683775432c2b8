"""The admin port: health, metrics, the API and the live page."""
