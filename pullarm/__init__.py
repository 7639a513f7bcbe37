"""What every part of Pullarm shares: domain, policies, statistics and storage. No process lives here."""
