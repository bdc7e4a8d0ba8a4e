"""What people prefer: a page to vote on, and what its votes say of methods and metrics."""
