"""What places of sensors are worth: expected before anything is read, and measured on frames that are held out."""
