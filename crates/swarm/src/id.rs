//! Identifiers: 17 random bytes, 25 characters of base 36.

pub fn new_id() -> String {
    todo!()
}
