"""The documentation as a site: its pages, its navigation, the reference of the names, its links."""
