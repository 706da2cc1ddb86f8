"""A page per file. ``routing.discover`` finds them: there is no list to edit."""
