# Everything comes from Debian packages; `./dev deps` installs them.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(tl-expected REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(OpenSSL REQUIRED)

find_path(KLAMM_ASIO_INCLUDE asio.hpp REQUIRED)
add_library(klamm_asio INTERFACE)
target_include_directories(klamm_asio SYSTEM INTERFACE "$<BUILD_INTERFACE:${KLAMM_ASIO_INCLUDE}>")
target_compile_definitions(klamm_asio INTERFACE ASIO_STANDALONE ASIO_NO_DEPRECATED
  # Asio 1.22 does not detect coroutines with Clang and libstdc++.
  "$<$<CXX_COMPILER_ID:Clang>:ASIO_HAS_CO_AWAIT;ASIO_HAS_STD_COROUTINE>")
target_link_libraries(klamm_asio INTERFACE Threads::Threads)
