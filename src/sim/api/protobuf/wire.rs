//! The wire format: numbered fields, one after the other.

/// A value as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire<'a> {
    /// A varint, or the bits of a fixed-width number.
    Number(u64),
    /// A text, bytes, or a message.
    Bytes(&'a [u8]),
}

/// The fields of a message, in their order.
///
/// # Errors
/// Words, if the bytes end early or hold a wire type that Kubernetes doesn't use.
pub(super) fn fields(mut bytes: &[u8]) -> Result<Vec<(u64, Wire<'_>)>, String> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let wire = match key & 7 {
            0 => Wire::Number(varint(&mut bytes)?),
            1 => Wire::Number(fixed(take(&mut bytes, 8)?)),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).map_err(|_| early())?;
                Wire::Bytes(take(&mut bytes, length)?)
            }
            5 => Wire::Number(fixed(take(&mut bytes, 4)?)),
            other => return Err(format!("wire type {other} is not used by Kubernetes")),
        };
        all.push((key >> 3, wire));
    }
    Ok(all)
}

fn early() -> String {
    "the body ends early".to_owned()
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or_else(early)?;
    *bytes = rest;
    Ok(taken)
}

/// Little endian.
fn fixed(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0u64;
    for place in 0..10 {
        let byte = take(bytes, 1)?[0];
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a number has more than ten bytes".to_owned())
}
