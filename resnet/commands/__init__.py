"""What a person types: flags, messages, pictures. Nothing below imports it."""
