// Which rows of a column of texts are not null. Twin: kernels/string/text.cuh. Binding 2 of a
// shader that imports this is the validity, a word for each row.
#define_import_path windlass::string::valid
#import windlass::string::layout::{TextLayout, FORM_CONSTANT}

@group(0) @binding(2) var<storage, read> valid: array<u32>;

fn text_valid(c: TextLayout, wanted: u32) -> bool {
    let row = select(wanted, 0u, (c.form & FORM_CONSTANT) != 0u);
    if row >= c.rows {
        return false;
    }
    if c.nullable == 0u {
        return true;
    }
    return valid[row] != 0u;
}
