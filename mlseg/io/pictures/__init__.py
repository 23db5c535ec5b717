"""Pictures: finding and reading their files, and drawing masks and overlays."""
