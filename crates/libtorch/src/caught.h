// How errors of C++ get to Rust.
#pragma once

#include <c10/util/Exception.h>

#include <cstring>
#include <exception>

// Null, or what went wrong in `work`, for Rust to free: no exception may leave C++.
template <typename Work>
char* caught(Work work) {
  try {
    work();
    return nullptr;
  } catch (const c10::Error& error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
}
