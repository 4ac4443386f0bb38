"""Readers of office files: Office Open XML, OpenDocument, Rich Text, e-books."""
