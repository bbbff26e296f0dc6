"""The worker: claims, runs, settles."""
