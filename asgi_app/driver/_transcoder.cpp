// Writes a page of rows, as Cassandra sent them, as JSON objects, without a Python object for any row or cell.
//
// `transcode` returns the same bytes as the Python code of `asgi_app.driver.page` (JSON_OBJECTS, JSON_LINES). It
// returns None for a page that it leaves to Python: an incomplete page, or one with text that is not UTF-8, with a very
// long number, or with a map that has two keys of the same text. A cell that is not a value of its type is written as
// its bytes in hexadecimal.
//
// The code reads sections 4.2.5.2 (rows) and 6 (values) of Cassandra's native_protocol_v5.spec, and vectors in the form
// of Cassandra's class VectorType. It has no state, and releases the interpreter's lock while it works on a large page.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifndef _WIN32
#include <arpa/inet.h>
#endif

#include <algorithm>
#include <cfloat>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

// A float becomes the double that Python makes of it only if both types are IEC 60559 and no value is kept with more
// precision. On other platforms this does not compile, and Python writes all pages.
static_assert(std::numeric_limits<float>::is_iec559 && std::numeric_limits<double>::is_iec559 && FLT_EVAL_METHOD == 0);

// The version of `transcode`: its parameters and the letters of the types. `asgi_app.driver.transcoding` uses only the
// version `EXPECTED_INTERFACE`.
constexpr long kInterface = 3;

// The size in bytes above which a page is written without the interpreter's lock. A smaller page usually takes less
// than 0.1 ms, but the event loop may wait 5 ms to get the lock back.
constexpr Py_ssize_t kLargePage = 64 * 1024;

// The depth of types within types that a plan may have, which bounds the recursion of this code.
constexpr int kDeepest = 64;

// The size in bytes above which the digits of a number are left to Python, whose algorithm for them is faster.
constexpr std::size_t kLongestNumber = 1250;

// A type, by its code in `asgi_app.driver.transcoding`.
enum Kind : char {
    kText = 't',
    kBoolean = '?',
    kTinyint = 'b',
    kSmallint = 'h',
    kInt = 'i',
    kBigint = 'q',
    kDouble = 'd',
    kFloat = 'f',
    kBlob = 'x',
    kUuid = 'u',
    kTimestamp = 'm',
    kDate = 'D',
    kTime = 'T',
    kDuration = 'p',
    kVarint = 'v',
    kDecimal = 'n',
    kInet = 'a',
    kList = 'L',  // a set, too
    kMap = 'M',
    kTuple = '(',
    kUserType = '{',
    kVector = '[',
};

using Bytes = std::string_view;

// A cell that is null. An empty cell is not: it has an address.
constexpr Bytes kNull{};

bool is_null(Bytes cell) { return cell.data() == nullptr; }

// Thrown for a page that Python must write.
struct LeftToPython {};

// Thrown if the bytes of a cell are not a value of its type.
struct NotAValue {};

void require(bool condition) {
    if (!condition) throw NotAValue{};
}

template <typename Unsigned>
Unsigned big_endian(Bytes bytes) {
    Unsigned number = 0;
    for (unsigned char byte : bytes) number = static_cast<Unsigned>(number << 8 | byte);
    return number;
}

// Reads a number of the size of its C++ type, from as many bytes or more.
template <typename Unsigned>
Unsigned fixed(Bytes bytes) {
    return big_endian<Unsigned>({bytes.data(), sizeof(Unsigned)});
}

// --- input

// Takes bytes from the beginning of a page or a cell, never more than it has.
class Parts {
public:
    explicit Parts(Bytes all) : at_(all.data()), end_(at_ + all.size()) {}

    bool ended() const { return at_ == end_; }

    Bytes take(std::uint64_t size) {
        require(size <= static_cast<std::size_t>(end_ - at_));
        const Bytes taken(at_, static_cast<std::size_t>(size));
        at_ += taken.size();
        return taken;
    }

    std::uint32_t number() { return fixed<std::uint32_t>(take(4)); }

    // Takes a length and a cell of that length.
    Bytes cell() {
        const auto length = static_cast<std::int32_t>(number());
        if (length < 0) return kNull;
        return take(static_cast<std::uint64_t>(length));
    }

    // Takes a number of one to nine bytes. The leading ones of its first byte count the other bytes.
    std::uint64_t vint() {
        const auto first = static_cast<unsigned char>(take(1)[0]);
        unsigned more = 0;
        while (more < 8 && (first & 0x80U >> more) != 0) ++more;
        const auto high = static_cast<std::uint64_t>(first & 0xFFU >> more);
        return (more < 8 ? high << 8 * more : 0) | big_endian<std::uint64_t>(take(more));
    }

private:
    const char* at_;
    const char* end_;
};

// --- output

// A growing buffer. A writer calls `room` with the most bytes that it may need, writes, and calls `ended_at`.
class Out {
public:
    explicit Out(std::size_t size) : first_(allocated(nullptr, size)), at_(first_.get()), end_(at_ + size) {}

    char* room(std::size_t size) {
        if (static_cast<std::size_t>(end_ - at_) < size) grow(size);
        return at_;
    }
    void ended_at(char* at) { at_ = at; }
    void put(Bytes bytes) {
        std::memcpy(room(bytes.size()), bytes.data(), bytes.size());
        at_ += bytes.size();
    }
    void put(char byte) {
        *room(1) = byte;
        ++at_;
    }
    void put_zeros(std::size_t count) {
        std::memset(room(count), '0', count);
        at_ += count;
    }

    std::size_t size() const { return static_cast<std::size_t>(at_ - first_.get()); }

    // Drops what was written after the first `size` bytes.
    void back_to(std::size_t size) { at_ = first_.get() + size; }

    // Puts quotes around what was written after the first `size` bytes, unless it has them.
    void quote_from(std::size_t size) {
        if (first_.get()[size] == '"') return;
        put("\"\"");
        char* from = first_.get() + size;
        std::memmove(from + 1, from, static_cast<std::size_t>(at_ - from) - 2);
        *from = '"';
    }

    Bytes all() const { return {first_.get(), static_cast<std::size_t>(at_ - first_.get())}; }

private:
    struct Free {
        void operator()(char* memory) const { std::free(memory); }
    };

    static char* allocated(char* before, std::size_t size) {
        void* memory = std::realloc(before, size);
        if (memory == nullptr) throw std::bad_alloc{};
        return static_cast<char*>(memory);
    }

    void grow(std::size_t size) {
        const auto written = static_cast<std::size_t>(at_ - first_.get());
        const auto before = static_cast<std::size_t>(end_ - first_.get());
        const std::size_t after = before + (before < size ? size : before);
        if (after < before) throw std::bad_alloc{};
        char* memory = allocated(first_.get(), after);
        static_cast<void>(first_.release());  // realloc has freed this memory
        first_.reset(memory);
        at_ = memory + written;
        end_ = memory + after;
    }

    std::unique_ptr<char, Free> first_;
    char* at_;
    char* end_;
};

// A table of the two digits of each number from 0 to count - 1.
template <std::size_t count, unsigned base>
struct Pairs {
    char pairs[2 * count];
    constexpr Pairs() : pairs() {
        constexpr char digits[] = "0123456789abcdef";
        for (std::size_t number = 0; number < count; ++number) {
            pairs[2 * number] = digits[number / base];
            pairs[2 * number + 1] = digits[number % base];
        }
    }
    char* write(char* to, std::size_t number) const {
        std::memcpy(to, pairs + 2 * number, 2);
        return to + 2;
    }
};

constexpr Pairs<256, 16> kHex;
constexpr Pairs<100, 10> kTwoDigits;

char* write_hex(char* to, Bytes bytes) {
    for (unsigned char byte : bytes) to = kHex.write(to, byte);
    return to;
}

// --- text

// Returns whether a byte is a character of ASCII that a JSON string holds unescaped.
constexpr bool is_plain(unsigned char byte) { return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\'; }

// Returns whether eight bytes are such characters. They are compared at once: subtracting n sets the highest bit of a
// byte below n, and a byte that equals c is 0, so below 1, after xor with c.
bool are_plain(const char* eight) {
    constexpr std::uint64_t ones = ~std::uint64_t{0} / 0xFF, highest = ones * 0x80;
    std::uint64_t bytes;
    std::memcpy(&bytes, eight, sizeof bytes);
    const std::uint64_t quotes = bytes ^ ones * '"', backslashes = bytes ^ ones * '\\';
    const std::uint64_t borrowed = (bytes - ones * 0x20) | (quotes - ones) | (backslashes - ones);
    return ((bytes | borrowed) & highest) == 0;
}

void escape(Out& out, unsigned char byte) {
    switch (byte) {
        case '"': return out.put("\\\"");
        case '\\': return out.put("\\\\");
        case '\b': return out.put("\\b");
        case '\t': return out.put("\\t");
        case '\n': return out.put("\\n");
        case '\f': return out.put("\\f");
        case '\r': return out.put("\\r");
    }
    out.put("\\u00");
    out.ended_at(kHex.write(out.room(2), byte));
}

// Python replaces what is not UTF-8 by rules of its own.
void require_utf8(bool condition) {
    if (!condition) throw LeftToPython{};
}

// Returns the size in bytes of the character at `at`, which is not ASCII. Throws unless it is well-formed UTF-8
// (Unicode 15, table 3-7).
std::size_t character_size(Bytes text, std::size_t at) {
    const auto byte = [&](std::size_t offset) -> unsigned {
        return at + offset < text.size() ? static_cast<unsigned char>(text[at + offset]) : 0;
    };
    const auto continues = [&](std::size_t offset) { return (byte(offset) & 0xC0) == 0x80; };
    const unsigned first = byte(0), second = byte(1);
    if (first >= 0xC2 && first <= 0xDF) {
        require_utf8(continues(1));
        return 2;
    }
    if (first >= 0xE0 && first <= 0xEF) {
        require_utf8(continues(1) && continues(2));
        require_utf8(!(first == 0xE0 && second < 0xA0) && !(first == 0xED && second > 0x9F));
        return 3;
    }
    require_utf8(first >= 0xF0 && first <= 0xF4);
    require_utf8(continues(1) && continues(2) && continues(3));
    require_utf8(!(first == 0xF0 && second < 0x90) && !(first == 0xF4 && second > 0x8F));
    return 4;
}

// Returns whether Python's str.splitlines ends a line at the character at `at`, which is well-formed and not ASCII:
// U+0085, U+2028 or U+2029. All other line ends are control characters, which JSON escapes.
bool ends_line(Bytes text, std::size_t at) {
    if (text[at] == '\xC2') return text[at + 1] == '\x85';
    return text[at] == '\xE2' && text[at + 1] == '\x80' && (text[at + 2] == '\xA8' || text[at + 2] == '\xA9');
}

void escape_line_end(Out& out, char last) {
    out.put(last == '\x85' ? "\\u0085" : last == '\xA8' ? "\\u2028" : "\\u2029");
}

void write_text(Out& out, Bytes text, bool lines) {
    out.put('"');
    std::size_t from = 0, at = 0;
    while (at < text.size()) {
        while (text.size() - at >= 8 && are_plain(text.data() + at)) at += 8;
        if (at == text.size()) break;
        const auto byte = static_cast<unsigned char>(text[at]);
        if (is_plain(byte)) {
            ++at;
        } else if (byte >= 0x80) {
            const std::size_t size = character_size(text, at);
            if (lines && ends_line(text, at)) {
                out.put(text.substr(from, at - from));
                escape_line_end(out, text[at + size - 1]);
                from = at + size;
            }
            at += size;
        } else {
            out.put(text.substr(from, at - from));
            escape(out, byte);
            from = ++at;
        }
    }
    out.put(text.substr(from));
    out.put('"');
}

void write_blob(Out& out, Bytes cell) {
    out.put("\"0x");
    out.ended_at(write_hex(out.room(2 * cell.size()), cell));
    out.put('"');
}

void write_uuid(Out& out, Bytes cell) {
    char* to = out.room(38);
    *to++ = '"';
    to = write_hex(to, cell.substr(0, 4));
    for (std::size_t at : {4, 6, 8}) {
        *to++ = '-';
        to = write_hex(to, cell.substr(at, 2));
    }
    *to++ = '-';
    to = write_hex(to, cell.substr(10));
    *to++ = '"';
    out.ended_at(to);
}

// --- numbers

template <typename Integer>
void write_integer(Out& out, Integer number) {
    constexpr std::size_t most = 20;  // -9223372036854775808
    char* to = out.room(most);
    out.ended_at(std::to_chars(to, to + most, number).ptr);
}

// Writes digits with the decimal point after `point` of them, or 0. and zeros before them. `point` is less than the
// number of digits.
void write_with_point(Out& out, Bytes digits, std::int64_t point) {
    if (point <= 0) {
        out.put("0.");
        out.put_zeros(static_cast<std::size_t>(-point));
        return out.put(digits);
    }
    out.put(digits.substr(0, static_cast<std::size_t>(point)));
    out.put('.');
    out.put(digits.substr(static_cast<std::size_t>(point)));
}

// Writes digits with a point after the first, and an exponent.
void write_scientific(Out& out, Bytes digits, Bytes mark, std::int64_t exponent) {
    if (digits.size() == 1) out.put(digits);
    else write_with_point(out, digits, 1);
    out.put(mark);
    write_integer(out, exponent);
}

// Writes the fewest digits that identify a double or float, in the form of msgspec: 1.0, 0.00001, 1e-6, 1e16.
template <typename Real>
void write_real(Out& out, Real number) {
    if (!std::isfinite(number)) {
        return out.put(std::isnan(number) ? "\"NaN\"" : number > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    }
    if (std::signbit(number)) out.put('-');
    if (number == 0) return out.put("0.0");
    char text[40];
    const char* end = std::to_chars(text, text + sizeof text, std::fabs(number), std::chars_format::scientific).ptr;
    const Bytes whole(text, static_cast<std::size_t>(end - text));
    const std::size_t mark = whole.find('e');
    char all[20];  // at most 17
    all[0] = whole[0];
    const std::size_t count = mark > 1 ? mark - 1 : 1;
    if (count > 1) std::memcpy(all + 1, text + 2, count - 1);
    const Bytes digits(all, count);
    int exponent = 0;
    const std::size_t sign = mark + 1;  // to_chars always writes a sign, and from_chars accepts no plus
    std::from_chars(text + sign + (whole[sign] == '+'), end, exponent);
    const int point = exponent + 1;  // the number of digits before the decimal point
    if (point <= -5 || point > 16) return write_scientific(out, digits, "e", exponent);
    if (static_cast<int>(count) > point) return write_with_point(out, digits, point);
    out.put(digits);
    out.put_zeros(static_cast<std::size_t>(point) - count);
    out.put(".0");
}

// Returns the number rounded to `digits` significant digits.
double rounded(double number, int digits) {
    char text[40];
    const auto end = std::to_chars(text, text + sizeof text, number, std::chars_format::scientific, digits - 1).ptr;
    double found = 0;
    std::from_chars(text, end, found);
    return found;
}

// Writes a float with the digits that `codec._shortest` finds: rounded to six digits, or to as many more as identify
// it. For most floats these are the fewest digits. Two kinds are different: five digits or less may identify a
// subnormal float, and next to a power of two the floats below lie closer than those above, so that its fewest digits
// may be others.
void write_single(Out& out, float single) {
    int exponent = 0;
    if (std::fpclassify(single) != FP_SUBNORMAL && std::fabs(std::frexp(single, &exponent)) != 0.5F)
        return write_real(out, single);
    double found = 0;
    for (int digits = 6; static_cast<float>(found) != single; ++digits) found = rounded(single, digits);
    write_real(out, found);
}

template <typename Real, typename Bits>
Real real(Bytes cell) {
    const Bits bits = fixed<Bits>(cell);
    Real number;
    static_assert(sizeof number == sizeof bits);
    std::memcpy(&number, &bits, sizeof number);
    return number;
}

bool is_negative(Bytes number) { return (static_cast<unsigned char>(number[0]) & 0x80) != 0; }

// Returns the digits of a big-endian number in two's complement, without its sign.
std::string short_digits(Bytes number) {
    std::uint64_t bits = big_endian<std::uint64_t>(number);
    if (is_negative(number)) bits = (0 - bits) & (~std::uint64_t{0} >> (64 - 8 * number.size()));
    char digits[20];
    return {digits, std::to_chars(digits, digits + sizeof digits, bits).ptr};
}

// Returns the words of 32 bits of a number's absolute value, the lowest first.
std::vector<std::uint32_t> magnitude(Bytes number) {
    const unsigned flipped = is_negative(number) ? 0xFF : 0;
    unsigned carry = is_negative(number) ? 1 : 0;
    std::vector<std::uint32_t> words((number.size() + 3) / 4);
    for (std::size_t at = 0; at < number.size(); ++at) {
        const unsigned byte = (static_cast<unsigned char>(number[number.size() - 1 - at]) ^ flipped) + carry;
        carry = byte >> 8;
        words[at / 4] |= (byte & 0xFF) << 8 * (at % 4);
    }
    return words;
}

// Divides the number in `words` by a billion and returns the rest.
std::uint32_t next_nine_digits(std::vector<std::uint32_t>& words) {
    std::uint64_t rest = 0;
    for (std::size_t at = words.size(); at-- > 0;) {
        rest = rest << 32 | words[at];
        words[at] = static_cast<std::uint32_t>(rest / 1'000'000'000);
        rest %= 1'000'000'000;
    }
    while (!words.empty() && words.back() == 0) words.pop_back();
    return static_cast<std::uint32_t>(rest);
}

std::string digits_of(Bytes number) {
    if (number.size() <= 8) return short_digits(number);
    if (number.size() > kLongestNumber) throw LeftToPython{};
    std::vector<std::uint32_t> words = magnitude(number);
    std::string digits;  // the lowest first
    while (!words.empty()) {
        std::uint32_t nine = next_nine_digits(words);
        for (int place = 0; place < 9; ++place, nine /= 10) digits.push_back(static_cast<char>('0' + nine % 10));
    }
    digits.resize(std::max(digits.find_last_not_of('0') + 1, std::size_t{1}), '0');
    std::reverse(digits.begin(), digits.end());
    return digits;
}

void write_varint(Out& out, Bytes cell) {
    out.put(is_negative(cell) ? Bytes("\"-") : Bytes("\""));
    out.put(digits_of(cell));
    out.put('"');
}

// Writes the text of Python's `Decimal` (the "scientific string" of the General Decimal Arithmetic Specification).
void write_decimal(Out& out, Bytes cell) {
    require(cell.size() >= 5);  // a scale and a digit
    const auto scale = static_cast<std::int32_t>(fixed<std::uint32_t>(cell));
    const Bytes number = cell.substr(4);
    const std::string digits = digits_of(number);
    const std::int64_t point = static_cast<std::int64_t>(digits.size()) - scale;
    out.put(is_negative(number) ? Bytes("\"-") : Bytes("\""));
    if (scale == 0) out.put(digits);
    else if (scale > 0 && point > -6) write_with_point(out, digits, point);
    else write_scientific(out, digits, point > 0 ? "E+" : "E", point - 1);
    out.put('"');
}

// --- addresses

// IPv6 is written by the function that Python calls: systems differ in the texts of some addresses.
void write_inet(Out& out, Bytes cell) {
    out.put('"');
    if (cell.size() == 4) {
        for (std::size_t at = 0; at < 4; ++at) {
            if (at != 0) out.put('.');
            write_integer(out, static_cast<int>(static_cast<unsigned char>(cell[at])));
        }
    } else {
        require(cell.size() == 16);
#ifdef _WIN32
        throw LeftToPython{};
#else
        char text[INET6_ADDRSTRLEN];
        if (inet_ntop(AF_INET6, cell.data(), text, sizeof text) == nullptr) throw LeftToPython{};
        out.put(Bytes(text));
#endif
    }
    out.put('"');
}

// --- days and times

constexpr std::int64_t kDayInMs = 86'400'000;

char* write_pair(char* to, std::int64_t number) { return kTwoDigits.write(to, static_cast<std::size_t>(number)); }

// Writes a year with four digits; outside 0001 to 9999 with a sign and at least four digits.
char* write_year(char* to, std::int64_t year) {
    if (year < 1 || year > 9999) *to++ = year < 0 ? '-' : '+';
    year = year < 0 ? -year : year;
    if (year > 9999) return std::to_chars(to, to + 20, year).ptr;
    return write_pair(write_pair(to, year / 100), year % 100);
}

// Writes days since 1970-01-01 as ISO 8601, in the proleptic Gregorian calendar. Years begin in March here, so that a
// leap day is the last day of its year; any 400 years have the same number of days (H. Hinnant, "chrono-Compatible
// Low-Level Date Algorithms").
char* write_day(char* to, std::int64_t days) {
    constexpr std::int64_t kCycle = 146'097, kCentury = 36'524, kFourYears = 1'461;
    const std::int64_t since = days + 719'468;  // 0000-03-01
    const std::int64_t cycles = (since >= 0 ? since : since - (kCycle - 1)) / kCycle;
    const std::int64_t within = since - cycles * kCycle;
    const std::int64_t years = (within - within / (kFourYears - 1) + within / kCentury - within / (kCycle - 1)) / 365;
    const std::int64_t day_of_year = within - (365 * years + years / 4 - years / 100);
    const std::int64_t month = (5 * day_of_year + 2) / 153;  // from March; five months have 153 days
    const std::int64_t day = day_of_year - (153 * month + 2) / 5 + 1;
    const std::int64_t year = years + 400 * cycles + (month >= 10 ? 1 : 0);
    to = write_year(to, year);
    *to++ = '-';
    to = write_pair(to, month < 10 ? month + 3 : month - 9);
    *to++ = '-';
    return write_pair(to, day);
}

void write_timestamp(Out& out, std::int64_t milliseconds) {
    std::int64_t days = milliseconds / kDayInMs, within = milliseconds % kDayInMs;
    if (within < 0) {
        --days;
        within += kDayInMs;
    }
    char* to = out.room(48);  // a year may have nine digits
    *to++ = '"';
    to = write_day(to, days);
    *to++ = 'T';
    to = write_pair(to, within / 3'600'000);
    *to++ = ':';
    to = write_pair(to, within / 60'000 % 60);
    *to++ = ':';
    to = write_pair(to, within / 1'000 % 60);
    *to++ = '.';
    *to++ = static_cast<char>('0' + within / 100 % 10);
    to = write_pair(to, within % 100);
    *to++ = 'Z';
    *to++ = '"';
    out.ended_at(to);
}

void write_date(Out& out, std::uint32_t days) {
    char* to = out.room(48);  // a year may have nine digits
    *to++ = '"';
    to = write_day(to, static_cast<std::int64_t>(days) - (std::int64_t{1} << 31));
    *to++ = '"';
    out.ended_at(to);
}

// Returns the absolute value; that of the lowest number has no signed type.
std::uint64_t absolute(std::int64_t number) {
    const auto bits = static_cast<std::uint64_t>(number);
    return number < 0 ? 0 - bits : bits;
}

void write_time(Out& out, std::int64_t nanoseconds) {
    const std::uint64_t whole = absolute(nanoseconds), seconds = whole / 1'000'000'000, hours = seconds / 3600;
    std::uint64_t fraction = whole % 1'000'000'000;
    out.put(nanoseconds < 0 ? Bytes("\"-") : Bytes("\""));
    if (hours < 10) out.put('0');
    write_integer(out, hours);
    char* to = out.room(17);
    *to++ = ':';
    to = kTwoDigits.write(to, seconds / 60 % 60);
    *to++ = ':';
    to = kTwoDigits.write(to, seconds % 60);
    *to++ = '.';
    for (int place = 9; place-- > 0; fraction /= 10) to[place] = static_cast<char>('0' + fraction % 10);
    to += 9;
    *to++ = '"';
    out.ended_at(to);
}

struct Unit {
    std::uint64_t size;
    Bytes name;
};

constexpr Unit kMonths[] = {{12, "y"}, {1, "mo"}};
constexpr Unit kDays[] = {{1, "d"}};
constexpr Unit kNanoseconds[] = {{3'600'000'000'000, "h"}, {60'000'000'000, "m"}, {1'000'000'000, "s"},
                                 {1'000'000, "ms"},        {1'000, "us"},         {1, "ns"}};

template <std::size_t count>
void write_in_units(Out& out, std::int64_t number, const Unit (&units)[count]) {
    std::uint64_t amount = absolute(number);
    for (const Unit& unit : units) {
        if (amount >= unit.size) {
            write_integer(out, amount / unit.size);
            out.put(unit.name);
            amount %= unit.size;
        }
    }
}

std::int64_t signed_vint(Parts& parts) {
    const std::uint64_t folded = parts.vint();
    return static_cast<std::int64_t>(folded >> 1 ^ (0 - (folded & 1)));
}

void write_duration(Out& out, Bytes cell) {
    Parts parts(cell);
    const std::int64_t months = signed_vint(parts), days = signed_vint(parts), nanoseconds = signed_vint(parts);
    require(parts.ended());
    out.put(months < 0 || days < 0 || nanoseconds < 0 ? Bytes("\"-") : Bytes("\""));
    if (months == 0 && days == 0 && nanoseconds == 0) out.put("0s");
    write_in_units(out, months, kMonths);
    write_in_units(out, days, kDays);
    write_in_units(out, nanoseconds, kNanoseconds);
    out.put('"');
}

// --- cells

// A type in a list of types: the types inside it follow it, each with those inside it.
struct Type {
    Kind kind;
    bool is_packed;       // whether a vector has values of this type without lengths
    std::uint32_t count;  // of the elements of a tuple, user type or vector
    std::size_t width;    // of a value in bytes, 0 if values differ
    std::size_t span;     // of this type and the types inside it
    Bytes before;         // the JSON before a value: {"name": or ,"name": of a column, "name": in a user type

    const Type* first() const { return this + 1; }    // the first type inside
    const Type* next() const { return this + span; }  // the next type beside this one
};

bool has_types_inside(Kind kind) {
    return kind == kList || kind == kMap || kind == kTuple || kind == kUserType || kind == kVector;
}

void write_cell(Out& out, const Type& type, Bytes cell, bool lines);

void write_list(Out& out, const Type& list, Bytes cell, bool lines) {
    Parts parts(cell);
    const std::uint32_t count = parts.number();
    out.put('[');
    for (std::uint32_t at = 0; at < count; ++at) {
        if (at != 0) out.put(',');
        write_cell(out, *list.first(), parts.cell(), lines);
    }
    require(parts.ended());
    out.put(']');
}

void write_vector(Out& out, const Type& vector, Bytes cell, bool lines) {
    const Type& element = *vector.first();
    require(!element.is_packed || vector.width != 0);  // else the loop below could count to 2^32 in one byte
    Parts parts(cell);
    out.put('[');
    for (std::uint32_t at = 0; at < vector.count; ++at) {
        if (at != 0) out.put(',');
        write_cell(out, element, parts.take(element.is_packed ? element.width : parts.vint()), lines);
    }
    require(parts.ended());
    out.put(']');
}

// Writes a tuple or a user type. Elements that the cell does not have are null, and what it has more is left out.
void write_elements(Out& out, const Type& type, Bytes cell, bool lines) {
    const bool named = type.kind == kUserType;
    Parts parts(cell);
    out.put(named ? '{' : '[');
    const Type* element = type.first();
    for (std::uint32_t at = 0; at < type.count; ++at, element = element->next()) {
        if (at != 0) out.put(',');
        out.put(element->before);
        write_cell(out, *element, parts.ended() ? kNull : parts.cell(), lines);
    }
    out.put(named ? '}' : ']');
}

void write_pairs(Out& out, const Type& map, Bytes cell, bool lines) {
    const Type &key = *map.first(), &value = *key.next();
    Parts parts(cell);
    const std::uint32_t count = parts.number();
    out.put('[');
    for (std::uint32_t at = 0; at < count; ++at) {
        out.put(at == 0 ? Bytes("[") : Bytes(",["));
        write_cell(out, key, parts.cell(), lines);
        out.put(',');
        write_cell(out, value, parts.cell(), lines);
        out.put(']');
    }
    require(parts.ended());
    out.put(']');
}

using Place = std::pair<std::size_t, std::size_t>;  // where something begins and how long it is

bool has_repeated(Bytes all, const std::vector<Place>& places) {
    std::vector<Bytes> names;
    names.reserve(places.size());
    for (const Place& place : places) names.push_back(all.substr(place.first, place.second));
    std::sort(names.begin(), names.end());
    return std::adjacent_find(names.begin(), names.end()) != names.end();
}

// Writes a map whose keys are texts, numbers and the like. Different keys may have the same text (two kinds of NaN);
// Python then keeps the last value.
void write_object(Out& out, const Type& map, Bytes cell, bool lines) {
    const Type &key = *map.first(), &value = *key.next();
    Parts parts(cell);
    const std::uint32_t count = parts.number();
    std::vector<Place> names;
    out.put('{');
    for (std::uint32_t at = 0; at < count; ++at) {
        if (at != 0) out.put(',');
        const std::size_t start = out.size();
        write_cell(out, key, parts.cell(), lines);
        out.quote_from(start);
        names.emplace_back(start, out.size() - start);
        out.put(':');
        write_cell(out, value, parts.cell(), lines);
    }
    require(parts.ended());
    out.put('}');
    if (names.size() > 1 && has_repeated(out.all(), names)) throw LeftToPython{};
}

// Writes a value of a type for which not every cell of the right size is a value. Throws if the cell is none.
void write_checked(Out& out, const Type& type, Bytes cell, bool lines) {
    switch (type.kind) {
        case kDuration: return write_duration(out, cell);
        case kVarint: return write_varint(out, cell);
        case kDecimal: return write_decimal(out, cell);
        case kInet: return write_inet(out, cell);
        case kList: return write_list(out, type, cell, lines);
        case kMap:
            return has_types_inside(type.first()->kind) ? write_pairs(out, type, cell, lines)
                                                        : write_object(out, type, cell, lines);
        case kTuple:
        case kUserType: return write_elements(out, type, cell, lines);
        case kVector: return write_vector(out, type, cell, lines);
        default: return;
    }
}

// Writes such a value, or the bytes of the cell if it is none.
void write_value_or_bytes(Out& out, const Type& type, Bytes cell, bool lines) {
    const std::size_t start = out.size();
    try {
        write_checked(out, type, cell, lines);
    } catch (const NotAValue&) {
        out.back_to(start);
        write_blob(out, cell);
    }
}

// Writes a cell that is not null and has the size of its type.
void write_value(Out& out, const Type& type, Bytes cell, bool lines) {
    switch (type.kind) {
        case kText: return write_text(out, cell, lines);
        case kBlob: return write_blob(out, cell);
        case kBoolean: return out.put(cell[0] ? Bytes("true") : Bytes("false"));
        case kTinyint: return write_integer(out, static_cast<int>(static_cast<std::int8_t>(cell[0])));
        case kSmallint: return write_integer(out, static_cast<std::int16_t>(fixed<std::uint16_t>(cell)));
        case kInt: return write_integer(out, static_cast<std::int32_t>(fixed<std::uint32_t>(cell)));
        case kBigint: return write_integer(out, static_cast<std::int64_t>(fixed<std::uint64_t>(cell)));
        case kDouble: return write_real(out, real<double, std::uint64_t>(cell));
        case kFloat: return write_single(out, real<float, std::uint32_t>(cell));
        case kUuid: return write_uuid(out, cell);
        case kTimestamp: return write_timestamp(out, static_cast<std::int64_t>(fixed<std::uint64_t>(cell)));
        case kDate: return write_date(out, fixed<std::uint32_t>(cell));
        case kTime: return write_time(out, static_cast<std::int64_t>(fixed<std::uint64_t>(cell)));
        default: return write_value_or_bytes(out, type, cell, lines);
    }
}

// Writes a value, null, or the bytes of a cell that is not a value.
void write_cell(Out& out, const Type& type, Bytes cell, bool lines) {
    if (is_null(cell)) return out.put("null");
    if (cell.empty() && type.kind != kText && type.kind != kBlob) return out.put("null");  // Cassandra's "empty"
    if (type.width != 0 && cell.size() != type.width) return write_blob(out, cell);
    write_value(out, type, cell, lines);
}

// --- the types of a page, from Python

// Returns the number of bytes of each value of a kind; 0 if they differ in size, or depend on the types inside.
std::size_t width_of(Kind kind) {
    switch (kind) {
        case kText:
        case kBlob:
        case kDuration:
        case kVarint:
        case kDecimal:
        case kInet:
        case kList:
        case kMap:
        case kTuple:
        case kUserType:
        case kVector: return 0;
        case kBoolean:
        case kTinyint: return 1;
        case kSmallint: return 2;
        case kInt:
        case kFloat:
        case kDate: return 4;
        case kBigint:
        case kDouble:
        case kTimestamp:
        case kTime: return 8;
        case kUuid: return 16;
    }
    throw std::invalid_argument("unknown code of a type");
}

// Returns whether Cassandra writes the values of a kind into a vector without lengths. It does not for each kind with
// values of one size.
bool is_packed(Kind kind) {
    return kind == kBoolean || kind == kInt || kind == kFloat || kind == kBigint || kind == kDouble ||
           kind == kTimestamp || kind == kUuid;
}

// The types of a page's columns.
class Plan {
public:
    Plan(Bytes codes, PyObject* names) : codes_(codes), names_(names) {
        if (!PyTuple_Check(names)) throw std::invalid_argument("names must be a tuple");
        types_.reserve(codes.size());
        for (; !codes_.ended(); ++width_) add(next_name(), 0);
        if (width_ == 0 || used_ != PyTuple_Size(names)) throw std::invalid_argument("too many names, or no column");
    }

    const std::vector<Type>& types() const { return types_; }
    std::size_t width() const { return width_; }

private:
    Bytes next_name() {
        PyObject* name = used_ < PyTuple_Size(names_) ? PyTuple_GetItem(names_, used_++) : nullptr;
        if (name == nullptr || !PyBytes_Check(name)) throw std::invalid_argument("each name must be bytes");
        return {PyBytes_AsString(name), static_cast<std::size_t>(PyBytes_Size(name))};
    }

    // Adds a type and the types inside it.
    void add(Bytes before, int depth) {
        const auto kind = static_cast<Kind>(codes_.take(1)[0]);
        const std::size_t place = types_.size();
        types_.push_back({kind, is_packed(kind), 0, width_of(kind), 1, before});
        if (!has_types_inside(kind)) return;
        if (depth == kDeepest) throw std::invalid_argument("too deep a type");
        const bool counted = kind == kTuple || kind == kUserType || kind == kVector;
        const std::uint32_t count = counted ? codes_.number() : 0;
        const std::uint32_t inside = kind == kList || kind == kVector ? 1 : kind == kMap ? 2 : count;
        for (std::uint32_t at = 0; at < inside; ++at) add(kind == kUserType ? next_name() : Bytes(""), depth + 1);
        Type& type = types_[place];
        type.count = count;
        type.span = types_.size() - place;
        if (kind == kVector) pack(type);
    }

    static void pack(Type& vector) {
        const Type& element = *vector.first();
        vector.is_packed = element.is_packed;
        if (element.is_packed) vector.width = std::min(element.width * std::uint64_t{vector.count}, kNoWidth);
    }

    // More than any cell has.
    static constexpr std::uint64_t kNoWidth = std::uint64_t{1} << 31;

    Parts codes_;
    PyObject* names_;
    Py_ssize_t used_ = 0;
    std::size_t width_ = 0;  // the number of columns
    std::vector<Type> types_;
};

// --- pages

// Returns the rows as JSON objects, each followed by a newline if `lines`, else with commas between them.
Out written(Bytes body, std::size_t rows, const Plan& plan, bool lines) {
    Out out(body.size() * 2 + 64);
    Parts page(body);
    for (std::size_t row = 0; row < rows; ++row) {
        if (!lines && row != 0) out.put(',');
        const Type* column = plan.types().data();
        for (std::size_t at = 0; at < plan.width(); ++at, column = column->next()) {
            out.put(column->before);
            write_cell(out, *column, page.cell(), lines);
        }
        out.put('}');
        if (lines) out.put('\n');
    }
    require(page.ended());
    return out;
}

// --- the interface to Python

Bytes bytes_of(const char* data, Py_ssize_t size) { return {data, static_cast<std::size_t>(size)}; }

enum class Ended { kWhole, kLeftToPython, kNoMemory };

// Calls `written`, without the interpreter's lock if the page is large. A plain statement takes the lock back, not a
// destructor: if the interpreter is shutting down, it ends this thread there, and in a destructor that would crash.
Ended written_unlocked(std::optional<Out>& out, Bytes body, std::size_t rows, const Plan& plan, bool lines) {
    PyThreadState* state = body.size() > kLargePage ? PyEval_SaveThread() : nullptr;
    Ended ended = Ended::kWhole;
    try {
        out.emplace(written(body, rows, plan, lines));
    } catch (const LeftToPython&) {
        ended = Ended::kLeftToPython;
    } catch (const NotAValue&) {  // the page is incomplete
        ended = Ended::kLeftToPython;
    } catch (const std::bad_alloc&) {
        ended = Ended::kNoMemory;
    }
    if (state != nullptr) PyEval_RestoreThread(state);
    return ended;
}

PyObject* transcode(PyObject*, PyObject* arguments) {
    const char *body, *types;
    Py_ssize_t body_size, types_size, rows;
    PyObject* names;
    int lines;
    if (!PyArg_ParseTuple(arguments, "y#ny#Op", &body, &body_size, &rows, &types, &types_size, &names, &lines))
        return nullptr;
    try {
        const Plan plan(bytes_of(types, types_size), names);
        const auto least = 4 * static_cast<Py_ssize_t>(plan.width());  // the bytes of a row
        if (rows < 0 || rows > body_size / least || body_size > PY_SSIZE_T_MAX / 8) Py_RETURN_NONE;
        std::optional<Out> out;
        switch (written_unlocked(out, bytes_of(body, body_size), static_cast<std::size_t>(rows), plan, lines)) {
            case Ended::kLeftToPython: Py_RETURN_NONE;
            case Ended::kNoMemory: return PyErr_NoMemory();
            case Ended::kWhole: break;
        }
        const Bytes all = out->all();
        return PyBytes_FromStringAndSize(all.data(), static_cast<Py_ssize_t>(all.size()));
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    } catch (const NotAValue&) {
        PyErr_SetString(PyExc_ValueError, "the types end too early");
        return nullptr;
    } catch (const std::invalid_argument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
        return nullptr;
    }
}

int add_constants(PyObject* module) { return PyModule_AddIntConstant(module, "INTERFACE", kInterface); }

PyMethodDef methods[] = {
    {"transcode", transcode, METH_VARARGS,
     "transcode(body, rows, types, names, lines) -> bytes | None\n\n"
     "Return the rows of a page as JSON objects; None if Python must write it, or the page is incomplete.\n"
     "`types` has a code for each column's type. After the code of a tuple, user type or vector comes its number of\n"
     "elements (4 bytes, big-endian), after that of each type with types inside come those. `names` has the JSON\n"
     "before the value of each column, b'{\"a\":', b',\"b\":', and after it the names in its user types, b'\"x\":'.\n"
     "With `lines` each row is followed by a newline, and line ends in texts are escaped; without it commas separate\n"
     "the rows. Raises ValueError for an unknown type, TypeError, MemoryError."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef_Slot slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(add_constants)},
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, nullptr},
};

PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_transcoder", "Write pages of rows as JSON, without Python objects.", 0, methods, slots,
    nullptr,               nullptr,       nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit__transcoder() { return PyModuleDef_Init(&module); }
