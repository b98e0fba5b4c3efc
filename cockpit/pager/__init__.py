"""The service that delivers pages."""
