//! The page and the browser SDK, as the node serves them: no build step, nothing from other hosts.

/// Path, media type and content of every file that the public listener serves. `/` and `/agent`
/// are both `index.html`.
pub const FILES: &[(&str, &str, &[u8])] = &[
    ("/index.html", "text/html; charset=utf-8", include_bytes!("index.html")),
    ("/page.js", "text/javascript; charset=utf-8", include_bytes!("page.js")),
    ("/page.css", "text/css; charset=utf-8", include_bytes!("page.css")),
    ("/causeway.js", "text/javascript; charset=utf-8", include_bytes!("causeway.js")),
    ("/causeway.d.ts", "text/plain; charset=utf-8", include_bytes!("causeway.d.ts")),
];
