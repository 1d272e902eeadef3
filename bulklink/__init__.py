"""bulklink: spreadsheet rows become links between Dataverse records, with one true outcome per row."""

__version__ = "0.1.0"
