//! The system as a whole: its house, its deployment, its round trips, its restarts.
