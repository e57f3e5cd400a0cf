"""Who may do what: authentication, ServiceAccount tokens, RBAC, audit."""
