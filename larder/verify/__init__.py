"""The proof that serving returns what training saw: every online value against its offline value."""
