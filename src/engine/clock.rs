//! The one clock. Everything else is told the time.

use std::sync::OnceLock;

use crate::run::record::Now;

/// Wall clock, CLOCK_BOOTTIME and the kernel's boot id, read together.
pub fn now() -> Now {
    let boottime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(boottime.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(boottime.tv_nsec).unwrap_or(0);
    Now { wall: jiff::Timestamp::now(), boottime: seconds * 1_000_000_000 + nanos, boot: boot_id().to_owned() }
}

fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        match id.get(..8) {
            Some(first) => first.to_owned(),
            None => "unknown0".to_owned(),
        }
    })
}
