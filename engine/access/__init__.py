"""Who may do what: principals and roles, passwords, tokens and sessions, and how long a wrong guess must wait."""
