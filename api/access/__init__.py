"""How people get in and stay in: passwords, one-time codes, sessions, letters, request rates."""
