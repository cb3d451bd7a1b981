//! The page for people: its text, script and style, built into the program.

use axum::http::{HeaderName, header};

type Asset = ([(HeaderName, &'static str); 1], &'static str);

fn asset(content_type: &'static str, text: &'static str) -> Asset {
    ([(header::CONTENT_TYPE, content_type)], text)
}

pub(super) async fn html() -> Asset {
    asset("text/html; charset=utf-8", include_str!("../page/index.html"))
}

pub(super) async fn script() -> Asset {
    asset("text/javascript; charset=utf-8", include_str!("../page/app.js"))
}

pub(super) async fn style() -> Asset {
    asset("text/css; charset=utf-8", include_str!("../page/style.css"))
}
