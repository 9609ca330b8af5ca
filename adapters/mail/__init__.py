"""Letters to people: a mail server of the operator's own."""
