"""From a request to rows: plan, resume, execute."""
