"""The panels: each draws one board, and asks the app for what its keys mean."""
