// Passes C++ exceptions to Rust as text.
#pragma once

#include <c10/util/Exception.h>

#include <cstring>
#include <exception>

// Runs `work` and returns null, or the text of its exception, which Rust frees. No exception may leave C++.
template <typename Work>
char* caught(Work work) {
  try {
    work();
    return nullptr;
  } catch (const c10::Error& error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}
