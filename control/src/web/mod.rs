//! The page, the console and the browser SDK, as the node serves them.

/// Path, media type and content of every file that the public listener serves. `/` and `/agent`
/// are both `index.html`.
pub const FILES: &[(&str, &str, &[u8])] = &[(
    "/index.html",
    "text/html; charset=utf-8",
    b"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>causeway</title></html>",
)];
