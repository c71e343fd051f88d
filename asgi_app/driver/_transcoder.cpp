// Writes a page of rows, as Cassandra sent them, as JSON objects, without a Python object for any row or cell.
//
// `transcode` returns the same bytes as the Python code of `asgi_app.driver.page` (JSON_OBJECTS, JSON_LINES), or None if
// a cell is not a value of its type or the page is incomplete; Python then writes the page or raises. It reads section
// 4.2.5.2 (rows) and section 6 (values) of Cassandra's native_protocol_v5.spec. It has no state, and releases the
// interpreter's lock while it works on a large page.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

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
#include <string_view>
#include <vector>

namespace {

// A float becomes the double that Python makes of it only if both types are IEC 60559 and no value is kept with more
// precision. On other platforms this does not compile, and Python writes all pages.
static_assert(std::numeric_limits<float>::is_iec559 && std::numeric_limits<double>::is_iec559 && FLT_EVAL_METHOD == 0);

// The version of `transcode`: its parameters and the letters of the types. `asgi_app.driver.transcoding` uses only the
// version `EXPECTED_INTERFACE`.
constexpr long kInterface = 2;

// The size in bytes above which a page is written without the interpreter's lock. Smaller pages take less than 0.1 ms,
// but the event loop may wait 5 ms to get the lock back.
constexpr Py_ssize_t kLargePage = 64 * 1024;

// The type of a column, by its code in `asgi_app.driver.transcoding`.
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
};

using Bytes = std::string_view;

// Thrown for a page or a cell that Python must write.
struct NotPerfect {};

void require(bool condition) {
    if (!condition) throw NotPerfect{};
}

template <typename Unsigned>
Unsigned big_endian(Bytes bytes) {
    Unsigned number = 0;
    for (unsigned char byte : bytes) number = static_cast<Unsigned>(number << 8 | byte);
    return number;
}

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
constexpr Pairs<100, 10> kDecimal;

char* write_hex(char* to, Bytes bytes) {
    for (unsigned char byte : bytes) to = kHex.write(to, byte);
    return to;
}

// --- text

// Returns whether a byte is a character of ASCII that a JSON string holds unescaped.
constexpr bool is_plain(unsigned char byte) { return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\'; }

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

// Returns the size in bytes of the character at `at`, which is not ASCII. Throws unless it is well-formed UTF-8
// (Unicode 15, table 3-7).
std::size_t character_size(Bytes text, std::size_t at) {
    const auto byte = [&](std::size_t offset) -> unsigned {
        return at + offset < text.size() ? static_cast<unsigned char>(text[at + offset]) : 0;
    };
    const auto continues = [&](std::size_t offset) { return (byte(offset) & 0xC0) == 0x80; };
    const unsigned first = byte(0), second = byte(1);
    if (first >= 0xC2 && first <= 0xDF) {
        require(continues(1));
        return 2;
    }
    if (first >= 0xE0 && first <= 0xEF) {
        require(continues(1) && continues(2));
        require(!(first == 0xE0 && second < 0xA0) && !(first == 0xED && second > 0x9F));
        return 3;
    }
    require(first >= 0xF0 && first <= 0xF4);
    require(continues(1) && continues(2) && continues(3));
    require(!(first == 0xF0 && second < 0x90) && !(first == 0xF4 && second > 0x8F));
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

// Writes the fewest digits that identify the number, in the form of msgspec: 1.0, 0.00001, 1e-6, 1e16.
void write_double(Out& out, double number) {
    if (!std::isfinite(number)) {
        return out.put(std::isnan(number) ? "\"NaN\"" : number > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    }
    if (std::signbit(number)) out.put('-');
    if (number == 0) return out.put("0.0");
    char written[40];
    const auto end = std::to_chars(written, written + sizeof written, std::fabs(number), std::chars_format::scientific).ptr;
    const Bytes whole(written, static_cast<std::size_t>(end - written));
    const std::size_t mark = whole.find('e');
    char all[20];  // at most 17
    all[0] = whole[0];
    const std::size_t count = mark > 1 ? mark - 1 : 1;
    if (count > 1) std::memcpy(all + 1, written + 2, count - 1);
    const Bytes digits(all, count);
    int exponent = 0;
    const std::size_t sign = mark + 1;  // to_chars always writes a sign, and from_chars accepts no plus
    std::from_chars(written + sign + (whole[sign] == '+'), end, exponent);
    const int point = exponent + 1;  // the number of digits before the decimal point
    const auto zeros = [&](std::size_t many) { out.put(Bytes("0000000000000000", many)); };
    if (0 < point && point <= 16) {
        const auto before = static_cast<std::size_t>(point);
        if (count <= before) {
            out.put(digits);
            zeros(before - count);
            return out.put(".0");
        }
        out.put(digits.substr(0, before));
        out.put('.');
        return out.put(digits.substr(before));
    }
    if (-5 < point && point <= 0) {
        out.put("0.");
        zeros(static_cast<std::size_t>(-point));
        return out.put(digits);
    }
    out.put(digits[0]);
    if (count > 1) {
        out.put('.');
        out.put(digits.substr(1));
    }
    out.put('e');
    write_integer(out, exponent);
}

// Returns the number rounded to `digits` significant digits.
double rounded(double number, int digits) {
    char written[40];
    const auto end =
        std::to_chars(written, written + sizeof written, number, std::chars_format::scientific, digits - 1).ptr;
    double found = 0;
    std::from_chars(written, end, found);
    return found;
}

// Writes a float as the double with the fewest digits that rounds to it. `codec._shortest` explains the search.
void write_single(Out& out, float single) {
    if (!std::isfinite(single)) {
        write_double(out, single);
        return;
    }
    const auto names = [&](double guess) { return static_cast<float>(guess) == single; };
    double found = rounded(single, 7);
    if (names(found)) {
        const double shorter = rounded(single, 6);
        if (names(shorter)) found = shorter;
    } else {
        found = rounded(single, 8);
        if (!names(found)) found = rounded(single, 9);
    }
    write_double(out, found);
}

template <typename Real, typename Bits>
Real real(Bytes cell) {
    const Bits bits = big_endian<Bits>(cell);
    Real number;
    static_assert(sizeof number == sizeof bits);
    std::memcpy(&number, &bits, sizeof number);
    return number;
}

// --- days and times

constexpr std::int64_t kDayInMs = 86'400'000;
constexpr std::int64_t kFirstDay = -719'162;  // 0001-01-01, in days since 1970-01-01
constexpr std::int64_t kLastDay = 2'932'896;  // 9999-12-31

char* write_pair(char* to, std::int64_t number) { return kDecimal.write(to, static_cast<std::size_t>(number)); }

// Writes days since 1970-01-01 as ISO 8601, in the proleptic Gregorian calendar. Years begin in March here, so that a
// leap day is the last day of its year; any 400 years have the same number of days (H. Hinnant, "chrono-Compatible
// Low-Level Date Algorithms").
char* write_day(char* to, std::int64_t days) {
    require(kFirstDay <= days && days <= kLastDay);
    constexpr std::int64_t kCycle = 146'097, kCentury = 36'524, kFourYears = 1'461;
    const std::int64_t since = days + 719'468;  // 0000-03-01
    const std::int64_t within = since % kCycle;
    const std::int64_t years = (within - within / (kFourYears - 1) + within / kCentury - within / (kCycle - 1)) / 365;
    const std::int64_t day_of_year = within - (365 * years + years / 4 - years / 100);
    const std::int64_t month = (5 * day_of_year + 2) / 153;  // from March; five months have 153 days
    const std::int64_t day = day_of_year - (153 * month + 2) / 5 + 1;
    const std::int64_t year = years + 400 * (since / kCycle) + (month >= 10 ? 1 : 0);
    to = write_pair(write_pair(to, year / 100), year % 100);
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
    char* to = out.room(26);
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
    char* to = out.room(12);
    *to++ = '"';
    to = write_day(to, static_cast<std::int64_t>(days) - (std::int64_t{1} << 31));
    *to++ = '"';
    out.ended_at(to);
}

// --- cells, rows, pages

// Returns the number of bytes of each value of a kind; 0 if they differ in size.
std::size_t width_of(Kind kind) {
    switch (kind) {
        case kText:
        case kBlob: return 0;
        case kBoolean:
        case kTinyint: return 1;
        case kSmallint: return 2;
        case kInt:
        case kFloat:
        case kDate: return 4;
        case kBigint:
        case kDouble:
        case kTimestamp: return 8;
        case kUuid: return 16;
    }
    throw std::invalid_argument("unknown kind of column");
}

void write_value(Out& out, Kind kind, Bytes cell, bool lines) {
    switch (kind) {
        case kText: return write_text(out, cell, lines);
        case kBlob: return write_blob(out, cell);
        case kBoolean: return out.put(cell[0] ? Bytes("true") : Bytes("false"));
        case kTinyint: return write_integer(out, static_cast<int>(static_cast<std::int8_t>(cell[0])));
        case kSmallint: return write_integer(out, static_cast<std::int16_t>(big_endian<std::uint16_t>(cell)));
        case kInt: return write_integer(out, static_cast<std::int32_t>(big_endian<std::uint32_t>(cell)));
        case kBigint: return write_integer(out, static_cast<std::int64_t>(big_endian<std::uint64_t>(cell)));
        case kDouble: return write_double(out, real<double, std::uint64_t>(cell));
        case kFloat: return write_single(out, real<float, std::uint32_t>(cell));
        case kUuid: return write_uuid(out, cell);
        case kTimestamp: return write_timestamp(out, static_cast<std::int64_t>(big_endian<std::uint64_t>(cell)));
        case kDate: return write_date(out, big_endian<std::uint32_t>(cell));
    }
}

struct Column {
    Kind kind;
    std::size_t width;  // of a value in bytes, 0 if values differ
    Bytes before;       // the JSON before the value: {"name": or ,"name":
};

class Page {
public:
    explicit Page(Bytes body) : body_(body) {}

    void write_cell(Out& out, const Column& column, bool lines) {
        const auto length = static_cast<std::int32_t>(big_endian<std::uint32_t>(take(4)));
        out.put(column.before);
        if (length < 0) return out.put("null");
        const Bytes cell = take(static_cast<std::size_t>(length));
        if (column.width != 0 && cell.empty()) return out.put("null");  // Cassandra's "empty"
        require(column.width == 0 || cell.size() == column.width);
        write_value(out, column.kind, cell, lines);
    }

    void end() const { require(at_ == body_.size()); }

private:
    Bytes take(std::size_t size) {
        require(size <= body_.size() - at_);
        const Bytes taken = body_.substr(at_, size);
        at_ += size;
        return taken;
    }

    Bytes body_;
    std::size_t at_ = 0;
};

// Returns the rows as JSON objects, each followed by a newline if `lines`, else with commas between them.
Out written(Bytes body, std::size_t rows, const std::vector<Column>& columns, bool lines) {
    Out out(body.size() * 2 + 64);
    Page page(body);
    for (std::size_t row = 0; row < rows; ++row) {
        if (!lines && row != 0) out.put(',');
        for (const Column& column : columns) page.write_cell(out, column, lines);
        out.put('}');
        if (lines) out.put('\n');
    }
    page.end();
    return out;
}

// --- the interface to Python

std::vector<Column> columns_of(const char* kinds, Py_ssize_t count, PyObject* names) {
    if (!PyTuple_Check(names) || PyTuple_Size(names) != count || count < 1)
        throw std::invalid_argument("names must be a tuple with the name of each column");
    std::vector<Column> columns;
    columns.reserve(static_cast<std::size_t>(count));
    for (Py_ssize_t at = 0; at < count; ++at) {
        PyObject* name = PyTuple_GetItem(names, at);
        if (!PyBytes_Check(name)) throw std::invalid_argument("each name must be bytes");
        const Bytes before(PyBytes_AsString(name), static_cast<std::size_t>(PyBytes_Size(name)));
        const auto kind = static_cast<Kind>(kinds[at]);
        columns.push_back({kind, width_of(kind), before});
    }
    return columns;
}

enum class Ended { kWhole, kNotPerfect, kNoMemory };

// Calls `written`, without the interpreter's lock if the page is large. A plain statement takes the lock back, not a
// destructor: if the interpreter is shutting down, it ends this thread there, and in a destructor that would crash.
Ended written_unlocked(std::optional<Out>& out, Bytes body, std::size_t rows, const std::vector<Column>& columns,
                       bool lines) {
    PyThreadState* state = body.size() > kLargePage ? PyEval_SaveThread() : nullptr;
    Ended ended = Ended::kWhole;
    try {
        out.emplace(written(body, rows, columns, lines));
    } catch (const NotPerfect&) {
        ended = Ended::kNotPerfect;
    } catch (const std::bad_alloc&) {
        ended = Ended::kNoMemory;
    }
    if (state != nullptr) PyEval_RestoreThread(state);
    return ended;
}

Bytes bytes_of(const char* data, Py_ssize_t size) { return {data, static_cast<std::size_t>(size)}; }

PyObject* transcode(PyObject*, PyObject* arguments) {
    const char *body, *kinds;
    Py_ssize_t body_size, kinds_size, rows;
    PyObject* names;
    int lines;
    if (!PyArg_ParseTuple(arguments, "y#ny#Op", &body, &body_size, &rows, &kinds, &kinds_size, &names, &lines))
        return nullptr;
    try {
        const std::vector<Column> columns = columns_of(kinds, kinds_size, names);
        if (rows < 0 || rows > body_size / (4 * kinds_size) || body_size > PY_SSIZE_T_MAX / 8) Py_RETURN_NONE;
        std::optional<Out> out;
        switch (written_unlocked(out, bytes_of(body, body_size), static_cast<std::size_t>(rows), columns, lines)) {
            case Ended::kNotPerfect: Py_RETURN_NONE;
            case Ended::kNoMemory: return PyErr_NoMemory();
            case Ended::kWhole: break;
        }
        const Bytes all = out->all();
        return PyBytes_FromStringAndSize(all.data(), static_cast<Py_ssize_t>(all.size()));
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    } catch (const std::invalid_argument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
        return nullptr;
    }
}

int add_constants(PyObject* module) { return PyModule_AddIntConstant(module, "INTERFACE", kInterface); }

PyMethodDef methods[] = {
    {"transcode", transcode, METH_VARARGS,
     "transcode(body, rows, kinds, names, lines) -> bytes | None\n\n"
     "Return the rows of a page as JSON objects; None if a cell is not a value of its kind or the page is incomplete.\n"
     "`kinds` has a code for each column, `names` the JSON before its value: b'{\"a\":', b',\"b\":'. With `lines`\n"
     "each row is followed by a newline, and line ends in texts are escaped; without it commas separate the rows.\n"
     "Raises ValueError for an unknown kind, TypeError, MemoryError."},
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
