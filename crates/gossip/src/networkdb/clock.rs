//! A Lamport clock.

/// Times from here on are refused: a single forged event must not wear out everybody's clock.
pub const HORIZON: u64 = 1 << 62;

#[derive(Debug, Default)]
pub struct Clock(u64);

impl Clock {
    pub fn now(&self) -> u64 {
        self.0
    }

    /// The time of a new event here.
    pub fn tick(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    /// Somebody else's event: ours come after it. False when it cannot be true.
    pub fn witness(&mut self, time: u64) -> bool {
        if time >= HORIZON {
            return false;
        }
        self.0 = self.0.max(time + 1);
        true
    }
}
