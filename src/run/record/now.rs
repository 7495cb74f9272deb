//! A moment. Never reads a clock.

use serde::{Deserialize, Serialize};

/// One moment, read from one clock by the engine; nobody else reads time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    pub wall: jiff::Timestamp,
    /// CLOCK_BOOTTIME, nanoseconds: order and durations come from this, never from `wall`. A text in the log: past 104
    /// days it is more than every JSON reader keeps exactly.
    #[serde(with = "as_text")]
    pub boottime: u64,
    /// First eight characters of the kernel's boot id; two boot times compare only within one boot.
    pub boot: String,
}

mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(number)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Now {
    /// As the log keeps it: the wall clock in whole microseconds.
    #[must_use]
    pub fn logged(&self) -> Self {
        let wall = jiff::Timestamp::from_microsecond(self.wall.as_microsecond()).unwrap_or(self.wall);
        Self { wall, ..self.clone() }
    }

    /// Seconds since `earlier`; by wall clock, never below zero, where the machine has booted in between.
    pub fn seconds_since(&self, earlier: &Now) -> u64 {
        if self.boot == earlier.boot {
            self.boottime.saturating_sub(earlier.boottime) / 1_000_000_000
        } else {
            u64::try_from(self.wall.as_second() - earlier.wall.as_second()).unwrap_or(0)
        }
    }
}
