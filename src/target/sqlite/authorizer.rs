//! The wall of a SQLite connection that may only read: the library asks it about every single thing a statement does.
//!
//! Never knows SQL: it allows reading and computing, by SQLite's own action codes, and nothing else.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;

use libsqlite3_sys::{
    SQLITE_DENY, SQLITE_FUNCTION, SQLITE_OK, SQLITE_PRAGMA, SQLITE_READ, SQLITE_RECURSIVE, SQLITE_SELECT,
    sqlite3_set_authorizer,
};
use sqlx::sqlite::LockedSqliteHandle;

/// Functions that reach outside the database.
const DENIED: [&[u8]; 4] = [b"load_extension", b"writefile", b"readfile", b"edit"];

/// Pragmas that only tell, when they are given no value to set.
const TOLD: [&[u8]; 9] = [
    b"table_info",
    b"table_xinfo",
    b"table_list",
    b"index_list",
    b"index_info",
    b"index_xinfo",
    b"database_list",
    b"foreign_key_list",
    b"schema_version",
];

/// Puts the wall up or takes it down.
pub fn set(handle: &mut LockedSqliteHandle<'_>, on: bool) {
    let raw = handle.as_raw_handle().as_ptr();
    // SAFETY: the handle is locked, so no other thread makes a call on it now; `decide` is a plain function that keeps
    // no state, so that the null user pointer is never read and nothing has to outlive this call.
    unsafe {
        sqlite3_set_authorizer(raw, if on { Some(decide) } else { None }, null_mut());
    }
}

unsafe extern "C" fn decide(
    _: *mut c_void,
    action: c_int,
    first: *const c_char,
    second: *const c_char,
    _: *const c_char,
    _: *const c_char,
) -> c_int {
    // SAFETY: SQLite passes null or a string that ends in NUL and lives for the length of this call.
    let text =
        |at: *const c_char| (!at.is_null()).then(|| unsafe { CStr::from_ptr(at) }.to_bytes().to_ascii_lowercase());
    let allowed = match action {
        SQLITE_SELECT | SQLITE_READ | SQLITE_RECURSIVE => true,
        SQLITE_FUNCTION => text(second).is_some_and(|name| !DENIED.contains(&name.as_slice())),
        // As a table-valued function a pragma is read through the same codes.
        SQLITE_PRAGMA => text(first)
            .is_some_and(|name| TOLD.contains(&name.as_slice()) && (name != b"schema_version" || second.is_null())),
        _ => false,
    };
    if allowed { SQLITE_OK } else { SQLITE_DENY }
}
