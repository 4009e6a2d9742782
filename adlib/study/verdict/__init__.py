"""What rows say of published numbers and claims: rule, ledger, conclusions."""
