"""What one operation of topics and names costs here, and what that means for a thousand nodes."""
