"""What the report says, a module a section; each gives nothing where its data are not there."""
