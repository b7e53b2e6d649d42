//! What a signed-in person can do, and what nobody else can do for them.
