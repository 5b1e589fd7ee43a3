"""Erasing one entity, such as a person: from every version of every table, and from the online store."""
