//! Short ways to say rows.

use netstate::nft::*;
use netstate::{Ns, Row};

use crate::common::*;

pub fn table(family: Family) -> Table {
    Table {
        ns: Ns::Host,
        family,
        name: "pontoon".into(),
    }
}

pub fn base(table: &Table, name: &str, kind: BaseKind, hook: Hook, priority: i32) -> Row {
    Row::NftChain(Chain {
        table: table.clone(),
        name: name.into(),
        base: Some(Base {
            kind,
            hook,
            priority,
            drop_by_default: false,
            device: None,
        }),
    })
}

pub fn chain(table: &Table, name: &str) -> Row {
    Row::NftChain(Chain {
        table: table.clone(),
        name: name.into(),
        base: None,
    })
}

pub fn set(table: &Table, name: &str, key: &[Type], data: Option<&[Type]>, interval: bool) -> Row {
    Row::NftSet(Set {
        table: table.clone(),
        name: name.into(),
        key: key.to_vec(),
        data: data.map(<[_]>::to_vec),
        interval,
    })
}

pub fn element(table: &Table, set: &str, key: &[Value], data: Option<&[Value]>) -> Row {
    Row::NftElement(Element {
        table: table.clone(),
        set: set.into(),
        key: key.to_vec(),
        key_end: None,
        data: data.map(<[_]>::to_vec),
    })
}

pub fn range(table: &Table, set: &str, from: &[Value], to: &[Value]) -> Row {
    Row::NftElement(Element {
        table: table.clone(),
        set: set.into(),
        key: from.to_vec(),
        key_end: Some(to.to_vec()),
        data: None,
    })
}

pub fn rule(table: &Table, chain: &str, order: u32, body: &[Statement]) -> Row {
    Row::NftRule(Rule {
        table: table.clone(),
        chain: chain.into(),
        order,
        body: body.to_vec(),
    })
}

pub fn addr(text: &str) -> Value {
    Value::Ip(ip(text))
}

pub fn name(text: &str) -> Value {
    Value::Ifname(text.into())
}

pub fn is(field: Field, value: Value) -> Statement {
    Statement::Match {
        field,
        not: false,
        value,
    }
}

pub fn isnt(field: Field, value: Value) -> Statement {
    Statement::Match {
        field,
        not: true,
        value,
    }
}

pub fn net(field: Field, not: bool, prefix: &str) -> Statement {
    Statement::MatchPrefix {
        field,
        not,
        prefix: prefix.parse().unwrap(),
    }
}

pub const ACCEPT: Statement = Statement::Verdict(Verdict::Accept);
pub const DROP: Statement = Statement::Verdict(Verdict::Drop);
pub const TCP: Value = Value::Protocol(6);

pub fn jump(chain: &str) -> Value {
    Value::Verdict(Verdict::Jump(chain.into()))
}

pub fn ruleset() -> String {
    run("nft list ruleset")
}
