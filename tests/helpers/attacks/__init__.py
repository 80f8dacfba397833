"""The catalogue of attacks, and what makes them: targets, attackers, bystanders."""
