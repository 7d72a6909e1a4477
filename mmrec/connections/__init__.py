"""How engines and our own ports are reached: addresses, encryption, logins, certificates."""
