//! What `nft` and the next run of ours read is what was meant.

use netstate::Row;

use crate::common::*;
use crate::every::everything;
use crate::rows::ruleset;

/// The kernel hands the elements of a hash out in any order.
fn elements_sorted(text: &str) -> String {
    let mut out = String::new();
    for (i, part) in text.split("elements = { ").enumerate() {
        if i == 0 {
            out.push_str(part);
            continue;
        }
        let (list, rest) = part.split_once(" }").unwrap();
        let mut list: Vec<&str> = list.split(',').map(str::trim).collect();
        list.sort_unstable();
        out.push_str(&format!("elements = {{ {} }}{rest}", list.join(", ")));
    }
    out
}

#[test]
fn nft_reads_what_was_meant() {
    isolated(|| async {
        let state = start().await;
        state.set("all", everything()).await.unwrap();
        insta::assert_snapshot!("ruleset", elements_sorted(&ruleset()));
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        let before = ruleset();
        state.set("all", everything()).await.unwrap();
        assert_eq!(ruleset(), before);

        // A new run knows its own again, and takes away what is no longer wanted.
        drop(state);
        let state = start().await;
        let mut fewer = everything();
        fewer.retain(|row| !matches!(row, Row::NftElement(_)) || row.to_string().contains("jumps"));
        state.set("all", fewer.clone()).await.unwrap();
        assert_eq!(ruleset(), before, "adopted as it is");
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        run("nft add table ip theirs");
        assert_eq!(state.collect().await.unwrap(), 9);
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        assert!(!ruleset().contains("8080") && ruleset().contains("table ip theirs"));
        state.remove("all").await.unwrap();
        assert_eq!(ruleset(), "table ip theirs {\n}\n");
    });
}

#[test]
fn rows_read_as_text() {
    let text: Vec<String> = everything().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!("rows", text.join("\n"));
}
