-- For wrk: asks for what the lines `METHOD PATH BODY` of a file say in turn, and ends with one line of JSON, a LoadReport.

local requests = {}
local turn = 0

local function headers_of(body)
   local headers = {}
   for name, value in pairs(wrk.headers) do
      headers[name] = value
   end
   if body then
      headers["Content-Type"] = "application/json"
   end
   return headers
end

function init(args)
   for line in io.lines(args[1]) do
      local method, path, body = line:match("^(%S+) (%S+) ?(.*)$")
      if body == "" then
         body = nil
      end
      requests[#requests + 1] = wrk.format(method, path, headers_of(body), body)
   end
end

function request()
   turn = turn % #requests + 1
   return requests[turn]
end

function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"p999_ms":%.3f,' ..
      '"failures":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
      summary.requests, summary.duration / 1e6,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3,
      errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
