"""Textual widgets and dialogs. They know the domain's types and nothing of any store."""
