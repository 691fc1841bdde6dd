// Runs a fuzz target over files, for compilers without libFuzzer: fuzz_<name> FILE...
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argument_count, char** arguments) {
  for (int index = 1; index < argument_count; ++index) {
    std::ifstream file(arguments[index], std::ios::binary);
    if (!file) {
      std::cerr << arguments[index] << ": cannot be read\n";
      return 1;
    }
    const std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(content.data()), content.size());
  }
  std::cout << argument_count - 1 << " inputs\n";
  return 0;
}
