"""Forgetting a user: the request, the removal, the search of all files, and the receipt."""
