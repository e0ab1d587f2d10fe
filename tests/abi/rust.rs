// SPDX-License-Identifier: GPL-2.0-only
//! libmfd and libmfd-recv in Rust, through what bindgen makes of their headers (in BINDINGS).
//! Its own tests of each structure's layout are run with these.

#[allow(non_camel_case_types, non_upper_case_globals, dead_code)]
mod mfd {
    include!(env!("BINDINGS"));
}
use mfd::*;

use std::alloc::{alloc_zeroed, dealloc, Layout};
use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_void};
use std::{env, mem, process, ptr};

const EINVAL: i32 = 22;
const ECANCELED: i32 = 125;
const EOPNOTSUPP: i32 = 95;

/// A structure of the library's, with its size.
macro_rules! sized {
    ($type:ty) => {{
        let mut value: $type = unsafe { mem::zeroed() };
        value.size = mem::size_of::<$type>() as u32;
        value
    }};
}

fn text(of: *const c_char) -> &'static str {
    unsafe { CStr::from_ptr(of) }.to_str().unwrap()
}

fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

#[test]
fn versions() {
    let header = [MFD_VERSION_MAJOR, MFD_VERSION_MINOR, MFD_VERSION_PATCH];

    assert_eq!(text(unsafe { mfd_version() }), header.map(|n| n.to_string()).join("."));
}

#[test]
fn defaults() {
    let mut params = sized!(mfd_params);

    assert_eq!(unsafe { mfd_params_init(&mut params) }, 0);
    assert_eq!((params.channels, params.detection), (2, MFD_DETECTION_MULTIFD));
    assert_eq!(params.level, MFD_LEVEL_DEFAULT as i32);
    assert_eq!(text(params.machine), "none");
    params.size = 0;
    assert_eq!(unsafe { mfd_params_init(&mut params) }, -EINVAL);
}

#[test]
fn generations() {
    let mut compat = sized!(mfd_compat);
    let mut err = sized!(mfd_error);

    assert_eq!(unsafe { mfd_compat_parse(&mut compat, c("7.2").as_ptr(), &mut err) }, 0);
    assert_eq!((compat.major, compat.flush), (7, MFD_FLUSH_SECTION));
    let ret = unsafe { mfd_compat_detection(&compat, MFD_DETECTION_MULTIFD, &mut err) };
    assert_eq!((ret, err.code), (-EOPNOTSUPP, EOPNOTSUPP));
    assert_eq!(unsafe { mfd_compat_version(&mut compat, 9, 1) }, 0);
    assert_eq!(unsafe { mfd_compat_detection(&compat, MFD_DETECTION_MULTIFD, &mut err) }, 0);
}

#[test]
fn uuids() {
    let (good, bad) = (c("6f2e60cc-3ec4-4c3d-8ce2-8b0d5f4dbb39"), c("6f2e60cc"));
    let mut err = sized!(mfd_error);
    let mut uuid = [0u8; 16];

    assert_eq!(unsafe { mfd_uuid_parse(uuid.as_mut_ptr(), good.as_ptr(), &mut err) }, 0);
    assert_eq!((uuid[0], uuid[15]), (0x6f, 0x39));
    assert_eq!(unsafe { mfd_uuid_parse(uuid.as_mut_ptr(), bad.as_ptr(), &mut err) }, -EINVAL);
    assert_eq!(err.kind, MFD_ERROR_USAGE);
    assert!(text(err.text.as_ptr()).contains("6f2e60cc"));
}

#[test]
fn opening() {
    let mut session: *mut mfd_session = ptr::null_mut();
    let mut err = sized!(mfd_error);
    let mut info = sized!(mfd_info);
    let ret = unsafe { mfd_open(&mut session, std::ptr::null(), &mut err) };

    if ret != 0 {
        assert_eq!((ret, err.kind), (-err.code, MFD_ERROR_MODULE));
        assert_ne!(text(err.text.as_ptr()), "");
        return;
    }
    assert_eq!(unsafe { mfd_info(session, &mut info, &mut err) }, 0);
    assert_eq!(info.page_size, 4096);
    unsafe { mfd_close(session) };
}

unsafe extern "C" fn count(now: *const mfd_recv_progress, calls: *mut c_void) {
    assert_eq!((*now).state, MFD_RECV_LISTENING);
    *(calls as *mut u32) += 1;
}

#[test]
fn receiving() {
    let name = env::temp_dir().join(format!("mfd-{}", process::id()));
    let address = c(&format!("unix:{}", name.display()));
    let layout = Layout::from_size_align(4 * 4096, 4096).unwrap();
    let memory = unsafe { alloc_zeroed(layout) };
    let mut params = sized!(mfd_recv_params);
    let mut err = sized!(mfd_error);
    let mut now = sized!(mfd_recv_progress);
    let mut recv: *mut mfd_recv = ptr::null_mut();
    let mut calls = 0u32;

    unsafe {
        assert_eq!(mfd_recv_params_init(&mut params), 0);
        params.progress = Some(count);
        params.opaque = &mut calls as *mut u32 as *mut c_void;
        assert_eq!(mfd_recv_open(&mut recv, &params, &mut err), 0);
        let (idstr, size) = (c("pc.ram"), layout.size() as u64);
        let ret = mfd_recv_block_add(recv, idstr.as_ptr(), memory.cast(), size, MFD_RECV_FRESH, &mut err);
        assert_eq!(ret, 0);
        assert_eq!(mfd_recv_listen(recv, address.as_ptr(), &mut err), 0);
        assert_eq!(text(mfd_recv_address(recv)), address.to_str().unwrap());
        mfd_recv_cancel(recv);
        assert_eq!(mfd_recv_run(recv, &mut err), -ECANCELED);
        assert_eq!((err.kind, err.channel), (MFD_ERROR_CANCELED, -1));
        assert_eq!(mfd_recv_progress(recv, &mut now), 0);
        assert_eq!(now.state, MFD_RECV_FAILED);
        mfd_recv_close(recv);
        dealloc(memory, layout);
    }
    assert!(calls <= 1);
}
