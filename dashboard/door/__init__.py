"""Who looks at the dashboard, and what each may do there."""
