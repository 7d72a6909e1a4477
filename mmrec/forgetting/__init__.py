"""Forgetting a user: what is asked, erased, searched for and written down in a receipt."""
